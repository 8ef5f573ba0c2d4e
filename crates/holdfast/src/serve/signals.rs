//! SIGTERM and SIGINT end the node, a second one at once; SIGHUP reads the certificate again.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Failure, local};

/// The signals a node listens to.
pub struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

/// What a shell shows for a process that an interrupt ended.
const EXIT_INTERRUPTED: i32 = 130;

impl Signals {
    /// Starts to listen; from here on none of them ends the process by itself.
    pub fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| local("signals cannot be received", &error));
        Ok(Self {
            term: listen(SignalKind::terminate())?,
            int: listen(SignalKind::interrupt())?,
            hup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits until told to end.
    pub async fn end(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }

    /// Waits for whichever comes first.
    pub async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.term.recv() => Told::End,
            _ = self.int.recv() => Told::End,
            _ = self.hup.recv() => Told::Reload,
        }
    }
}

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// End gracefully.
    End,
    /// Read the certificate again.
    Reload,
}

/// From here on one more signal ends the process at once, in the middle of whatever it does.
pub fn end_at_once_on_another() {
    tokio::spawn(async {
        if let Ok(mut signals) = Signals::listen() {
            signals.end().await;
            tracing::warn!("told to end a second time: ending at once");
            std::process::exit(EXIT_INTERRUPTED);
        }
    });
}
