//! What says only that something is over, *remnants*: filing them, saying whether they are the same here as elsewhere, and
//! forgetting them (rule G3). Records of deletions, rows of closed uploads, and lives that a record knows of and that left
//! nothing in it (rule D3).

use alloc::vec::Vec;

use super::dead::dead_key;
use super::side::is_closed;
use super::state::Step;
use crate::content::Manifest;
use crate::dead::{DeadBody, Over, Remnant};
use crate::ids::{ActorId, Life, NodeId, SYSTEM_BUCKET, Tick, UploadId};
use crate::message::Digest;
use crate::place::{Place, after_prefix};
use crate::planted::Planted;
use crate::record::Record;
use crate::storage::{Batch, ReadError, Space, Visit, WriteSeq};
use crate::wire::dead::decode_dead;
use crate::wire::record::encode_row;

/// What follows the key of a record in [`Space::Dead`], beside the kinds of bodies: a record of deletions …
const TOMBSTONE: u8 = 4;
/// … the row of a closed upload …
const CLOSED_UPLOAD: u8 = 5;
/// … and a record that knows of many lives.
const MANY_LIVES: u8 = 6;

/// Lives forgotten of one record at once.
const LIVES_AT_ONCE: usize = 64;

/// What a disk holds under a remnant's name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    /// Exactly this, and what the remnant names is over in it.
    Over(Digest),
    /// An object, an upload that is open, or a life that goes on.
    Alive,
}

impl Step<'_> {
    /// Adds to a batch what this home's record tells that is over. The registry's rows stay as they are: they are few, and ids of
    /// buckets are counted by its deletions. Of a bucket that this node does not know the other homes see to it.
    pub(crate) fn note_remnants(&mut self, place: &Place, after: &Record, batch: &mut Batch) {
        if place.bucket == SYSTEM_BUCKET {
            return;
        }
        if after.is_tombstone() {
            self.file_remnant(place, TOMBSTONE, &[], batch);
        } else if self.knows_many_lives(after)
            && !self.lives_over(place, after, self.state.n_of(place.bucket)).is_empty()
        {
            self.file_remnant(place, MANY_LIVES, &[], batch);
        }
    }

    fn file_remnant(&mut self, place: &Place, kind: u8, what: &[u8], batch: &mut Batch) {
        if let Some(bucket) = self.state.registry.bucket_by_id(place.bucket) {
            let body = DeadBody {
                since_ms: self.now.wall_ms,
                homes: bucket.settings.n,
                manifest: Manifest { parts: Vec::new() },
            };
            self.put_dead(dead_key(place, kind, what), &body, batch);
        }
    }

    /// Files what a record that a scrub met tells that is over, if it is not filed.
    pub(crate) fn file_remnants(&mut self, place: &Place, record: &Record) {
        let mut batch = Batch::default();
        self.note_remnants(place, record, &mut batch);
        self.write_changes(batch);
    }

    /// Files the row of an upload that is closed: it is to go, some day.
    pub(crate) fn file_closed_upload(&mut self, place: &Place, upload: UploadId, batch: &mut Batch) {
        self.file_remnant(place, CLOSED_UPLOAD, &upload.0.to_be_bytes(), batch);
    }

    /// The remnant that is filed under a key of [`Space::Dead`], as it is on this disk: `None` when it is a body's, or not over
    /// after all.
    pub(crate) fn remnant(&self, key: &[u8], place: &Place, homes: u8) -> Option<Remnant> {
        let over = match key.strip_prefix(place.row_key().as_slice())? {
            [TOMBSTONE] => Over::Record,
            [CLOSED_UPLOAD, id @ ..] => Over::Upload(UploadId(u128::from_be_bytes(id.try_into().ok()?))),
            [MANY_LIVES] => {
                let record = self.read_copy(place).ok().flatten()?.record;
                let lives = self.lives_over(place, &record, homes);
                if lives.is_empty() || !self.knows_many_lives(&record) {
                    return None;
                }
                Over::Lives(lives)
            }
            _ => return None,
        };
        let Ok(Found::Over(digest)) = self.found(place, &over) else {
            return None;
        };
        Some(Remnant {
            place: place.clone(),
            over,
            digest,
            homes,
        })
    }

    /// Whether those that are over are worth forgetting.
    fn knows_many_lives(&self, record: &Record) -> bool {
        record.context().len() > self.state.config.lives_kept
    }

    /// Lives that a record knows of and that are over, as far as this node can tell: each home says so itself.
    fn lives_over(&self, place: &Place, record: &Record, homes: u8) -> Vec<(ActorId, Life)> {
        let homes = self.state.layout().homes(place.partition, homes);
        let actors: Vec<ActorId> = homes.filter_map(|home| self.actor_of(home)).collect();
        let may_go_on = |actor, life| actors.contains(&actor) && record.context().last_life_of(actor) == Some(life);
        let mut lives = record.lives_without_versions();
        let is_planted = self.state.is_planted(Planted::PresentLifeForgotten);
        lives.retain(|(actor, life)| is_planted || !may_go_on(*actor, *life));
        lives.truncate(LIVES_AT_ONCE);
        lives
    }

    fn actor_of(&self, node: NodeId) -> Option<ActorId> {
        if node == self.state.me() {
            return Some(self.state.identity.actor);
        }
        self.state.gossip.facts_of(node).map(|facts| facts.actor)
    }

    /// What is there now, under a remnant's name.
    fn found(&self, place: &Place, over: &Over) -> Result<Found, ReadError> {
        let found = if let Over::Upload(upload) = over {
            let row = self.storage.get(Space::Uploads, &place.upload_key(*upload))?;
            row.map(|row| (is_closed(&row), self.compared_digest(Space::Uploads, &row)))
        } else {
            let own = self.read_copy_and_digest(place)?;
            own.map(|(copy, digest)| {
                let present = (self.state.identity.actor, copy.local.life);
                let goes_on = |lives: &[(ActorId, Life)]| self.may_go_on(&copy.local) && lives.contains(&present);
                let is_over = match over {
                    Over::Lives(_) if self.state.is_planted(Planted::PresentLifeForgotten) => true,
                    Over::Lives(lives) => !copy.record.is_tombstone() && !goes_on(lives),
                    _ => copy.record.is_tombstone(),
                };
                (is_over, digest)
            })
        };
        Ok(match found {
            None => Found::Nothing,
            Some((true, digest)) => Found::Over(digest),
            Some((false, _)) => Found::Alive,
        })
    }

    /// Which of these remnants are not exactly so here. Who is no home may hold nothing.
    pub(super) fn otherwise(&self, remnants: &[Remnant]) -> Vec<u32> {
        let is_so = |remnant: &Remnant| match self.found(&remnant.place, &remnant.over) {
            Ok(Found::Over(own)) => own == remnant.digest,
            Ok(Found::Nothing) => self.is_no_home(remnant),
            Ok(Found::Alive) | Err(_) => false,
        };
        let places = (0..).zip(remnants);
        places
            .filter(|(_, remnant)| !is_so(remnant))
            .map(|(at, _)| at)
            .collect()
    }

    fn is_no_home(&self, remnant: &Remnant) -> bool {
        let (me, partition) = (self.state.me(), remnant.place.partition);
        !self.state.layout().is_home(me, partition, remnant.homes)
    }

    /// Forgets remnants, those that are still exactly so: nothing that they ended exists anywhere.
    pub(super) fn erase(&mut self, remnants: &[Remnant]) -> Result<WriteSeq, ReadError> {
        let mut batch = Batch::default();
        for Remnant {
            place, over, digest, ..
        } in remnants
        {
            if self.found(place, over)? != Found::Over(*digest) {
                continue;
            }
            let filed = match over {
                Over::Record if !self.erase_record(place, &mut batch) => continue,
                Over::Record => dead_key(place, TOMBSTONE, &[]),
                Over::Upload(upload) => {
                    self.erase_upload(place, *upload, &mut batch)?;
                    dead_key(place, CLOSED_UPLOAD, &upload.0.to_be_bytes())
                }
                Over::Lives(lives) => {
                    self.erase_lives(place, lives, &mut batch)?;
                    dead_key(place, MANY_LIVES, &[])
                }
            };
            let known = self.storage.get(Space::Dead, &filed).ok().flatten();
            if let Some(body) = known.and_then(|row| decode_dead(row).ok()) {
                self.state.dead.take_away(&body);
            }
            batch.remove(Space::Dead, filed);
        }
        Ok(self.write_changes(batch))
    }

    /// Removes a record of deletions. One of which this node's clock has not passed the ticks yet stays for another time.
    fn erase_record(&mut self, place: &Place, batch: &mut Batch) -> bool {
        let Ok(Some((copy, _))) = self.read_copy_and_digest(place) else {
            return false;
        };
        let tick = copy.record.tick_max();
        if tick >= Tick::from_millis(self.now.wall_ms) {
            return false;
        }
        batch.remove(Space::Rows, place.row_key());
        self.state.clock.forgot(tick);
        true
    }

    /// Removes the row of a closed upload and those of its parts, at once: a part without its upload would pass for one of an
    /// upload that is open elsewhere.
    fn erase_upload(&self, place: &Place, upload: UploadId, batch: &mut Batch) -> Result<(), ReadError> {
        let key = place.upload_key(upload);
        let to = after_prefix(key.clone());
        self.storage.scan(Space::Parts, &key, &to, &mut |part, _| {
            batch.remove(Space::Parts, part.to_vec());
            Visit::Next
        })?;
        batch.remove(Space::Uploads, key);
        Ok(())
    }

    /// Takes lives out of what a record knows. Its versions stay as they are.
    fn erase_lives(&self, place: &Place, lives: &[(ActorId, Life)], batch: &mut Batch) -> Result<(), ReadError> {
        if let Some(mut copy) = self.read_copy(place)? {
            copy.record.forget_lives(lives);
            batch.put(Space::Rows, place.row_key(), encode_row(copy.local, &copy.record));
        }
        Ok(())
    }
}
