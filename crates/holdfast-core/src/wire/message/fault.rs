//! Why something was not done, as bytes: refusals of replicas, faults of coordinators.

use crate::codec::{DecodeError, Reader, Writer};
use crate::message::Refusal;
use crate::request::{ReadFault, StateChange, WriteError, WriteFault};
use crate::wire::field::Field;

/// One byte: 0 for what was asked, which follows, else the number of the refusal.
pub fn write_refusable<T>(to: &mut Writer, result: &Result<T, Refusal>, write: impl FnOnce(&mut Writer, &T)) {
    match result {
        Ok(value) => {
            to.u8(0);
            write(to, value);
        }
        Err(refusal) => to.u8(number_of(*refusal)),
    }
}

/// Reads what [`write_refusable`] wrote.
pub fn read_refusable<T>(
    from: &mut Reader<'_>,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<Result<T, Refusal>, DecodeError> {
    Ok(Err(match from.u8()? {
        0 => return read(from).map(Ok),
        1 => Refusal::Damaged,
        2 => Refusal::Absent,
        3 => Refusal::Io,
        4 => Refusal::DiskFull,
        5 => Refusal::ClockRefused,
        6 => Refusal::UploadClosed,
        7 => Refusal::CommitDeadlinePassed,
        8 => Refusal::NotHome,
        9 => Refusal::Malformed,
        10 => Refusal::Overloaded,
        11 => Refusal::NotReadYet,
        12 => Refusal::Abstains,
        tag => return Err(DecodeError::BadTag { what: "refusal", tag }),
    }))
}

const fn number_of(refusal: Refusal) -> u8 {
    match refusal {
        Refusal::Damaged => 1,
        Refusal::Absent => 2,
        Refusal::Io => 3,
        Refusal::DiskFull => 4,
        Refusal::ClockRefused => 5,
        Refusal::UploadClosed => 6,
        Refusal::CommitDeadlinePassed => 7,
        Refusal::NotHome => 8,
        Refusal::Malformed => 9,
        Refusal::Overloaded => 10,
        Refusal::NotReadYet => 11,
        Refusal::Abstains => 12,
    }
}

impl<T: Field> Field for Result<T, Refusal> {
    const BYTES_MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        write_refusable(to, self, |to, value| value.write(to));
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        read_refusable(from, T::read)
    }
}

impl Field for WriteError {
    const BYTES_MIN: usize = 2;

    fn write(&self, to: &mut Writer) {
        to.flag(self.state == StateChange::Unknown);
        self.fault.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            state: if from.flag("change of state")? {
                StateChange::Unknown
            } else {
                StateChange::Unchanged
            },
            fault: Field::read(from)?,
        })
    }
}

impl Field for WriteFault {
    const BYTES_MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        match self {
            Self::Unavailable { needed, reached, down } => {
                to.raw(&[0, *needed, *reached]);
                down.write(to);
            }
            Self::TimedOut { needed, synced } => to.raw(&[1, *needed, *synced]),
            Self::TooManySiblings => to.u8(2),
            Self::RequestIdReused => to.u8(3),
            Self::ClockRefused => to.u8(4),
            Self::DiskFull => to.u8(5),
            Self::Damaged => to.u8(6),
            Self::NoSuchUpload => to.u8(7),
            Self::CommitDeadlinePassed => to.u8(8),
            Self::Overloaded => to.u8(9),
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match from.u8()? {
            0 => Self::Unavailable {
                needed: from.u8()?,
                reached: from.u8()?,
                down: Field::read(from)?,
            },
            1 => Self::TimedOut {
                needed: from.u8()?,
                synced: from.u8()?,
            },
            2 => Self::TooManySiblings,
            3 => Self::RequestIdReused,
            4 => Self::ClockRefused,
            5 => Self::DiskFull,
            6 => Self::Damaged,
            7 => Self::NoSuchUpload,
            8 => Self::CommitDeadlinePassed,
            9 => Self::Overloaded,
            tag => {
                return Err(DecodeError::BadTag {
                    what: "fault of a write",
                    tag,
                });
            }
        })
    }
}

impl Field for ReadFault {
    const BYTES_MIN: usize = 1;

    fn write(&self, to: &mut Writer) {
        match self {
            Self::Unavailable { needed, reached, down } => {
                to.raw(&[0, *needed, *reached]);
                down.write(to);
            }
            Self::TimedOut { needed, answered } => to.raw(&[1, *needed, *answered]),
            Self::Damaged => to.u8(2),
            Self::NoSuchUpload => to.u8(3),
            Self::Overloaded => to.u8(4),
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match from.u8()? {
            0 => Self::Unavailable {
                needed: from.u8()?,
                reached: from.u8()?,
                down: Field::read(from)?,
            },
            1 => Self::TimedOut {
                needed: from.u8()?,
                answered: from.u8()?,
            },
            2 => Self::Damaged,
            3 => Self::NoSuchUpload,
            4 => Self::Overloaded,
            tag => {
                return Err(DecodeError::BadTag {
                    what: "fault of a read",
                    tag,
                });
            }
        })
    }
}
