//! Dots as people and programs see them: one word, three numbers in hex.

use holdfast_core::ids::{ActorId, Dot, Tick};

/// A dot as one word.
pub(crate) fn dot_text(dot: Dot) -> String {
    format!("{}-{}-{}", dot.actor, dot.life, dot.tick)
}

/// The dot in such a word.
pub(crate) fn parse_dot(text: &str) -> Option<Dot> {
    let mut fields = text.split('-').map(|field| u64::from_str_radix(field, 16).ok());
    let dot = Dot {
        actor: ActorId(fields.next()??),
        life: Tick(fields.next()??),
        tick: Tick(fields.next()??),
    };
    fields.next().is_none().then_some(dot)
}

#[cfg(test)]
mod tests {
    use holdfast_core::ids::{ActorId, Dot, Tick};

    use super::{dot_text, parse_dot};

    #[test]
    fn dots_lead_back() {
        let dot = Dot {
            actor: ActorId(7),
            life: Tick(1 << 20),
            tick: Tick(u64::MAX),
        };
        assert_eq!(parse_dot(&dot_text(dot)), Some(dot));
        for text in ["", "1-2", "1-2-3-4", "x-2-3"] {
            assert_eq!(parse_dot(text), None, "{text}");
        }
    }
}
