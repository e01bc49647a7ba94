//! The outer skin of the mesh, held against the whole contract: who gets in, and what hostile requests do.

mod access;
mod bombs;
mod change;
mod collector;
mod contract;
mod hostile;
mod inject;
mod mutate;
mod people;
mod planted;
mod secrets;
mod wire;
