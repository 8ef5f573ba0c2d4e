//! Which life a write belongs to (rule D2).

use super::clock::BoundNotDurable;
use super::state::Step;
use crate::ids::Tick;
use crate::planted::Planted;
use crate::wire::record::RowLocal;

impl Step<'_> {
    /// A tick for a write of a key whose copy is `local`, and the life it belongs to: the copy's own if it is younger
    /// than the last unclean start, else a new one that begins with this very tick (rule D2).
    pub(crate) fn issue(&mut self, local: &RowLocal, seen: Tick) -> Result<(RowLocal, Tick), BoundNotDurable> {
        let wall_ms = self.now.wall_ms;
        if self.state.is_planted(Planted::LivesLeftOut) {
            let tick = self.state.clock.tick(wall_ms, seen)?;
            return Ok((
                RowLocal {
                    life: Tick(1),
                    life_boot: self.state.identity.boot,
                },
                tick,
            ));
        }
        let forgot =
            local.life_boot < self.state.identity.unclean_boot && !self.state.is_planted(Planted::AnswerBeforeOwnSync);
        if local.life == Tick(0) || forgot {
            let life = self.state.clock.life(wall_ms, seen)?;
            return Ok((
                RowLocal {
                    life,
                    life_boot: self.state.identity.boot,
                },
                life,
            ));
        }
        Ok((*local, self.state.clock.tick(wall_ms, seen)?))
    }
}
