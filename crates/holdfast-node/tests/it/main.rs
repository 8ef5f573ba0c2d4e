//! The layer between nodes over real sockets on loopback: sessions, refusals, founding; and shells over it: the registry.

mod cluster;
mod cost;
mod founding;
mod gossip;
mod joining;
mod refusals;
mod registry;
mod sessions;
