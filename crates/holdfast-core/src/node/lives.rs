//! Which life a write belongs to (rule D2).

use super::clock::BoundNotDurable;
use super::state::Step;
use crate::ids::Tick;
use crate::planted::Planted;
use crate::wire::record::RowLocal;

impl Step<'_> {
    /// Whether a later write of a key may belong to the life of this copy.
    pub(super) const fn may_go_on(&self, local: &RowLocal) -> bool {
        local.life.0 > 0 && local.life_boot >= self.state.identity.unclean_boot
    }

    /// A tick for a write of a key whose copy is `local`, and the life it belongs to: the copy's own if it is younger
    /// than the last unclean start, else a new one that begins with this very tick (rule D2). While not all
    /// members have vouched for this disk, a life of an earlier run may have gone on elsewhere (rule S1).
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
        let may_be_old = !self.state.standing.has_heard_all(self.state.layout().members().len());
        // What is sent meanwhile goes without the rest of the copy, which must then share no life with it.
        let is_old_copy =
            may_be_old && local.life_boot < self.state.identity.boot || !self.state.standing.is_vouched_for();
        let forgot = (local.life_boot < self.state.identity.unclean_boot
            && !self.state.is_planted(Planted::AnswerBeforeOwnSync))
            || is_old_copy;
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
