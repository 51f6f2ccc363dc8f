//! Tests on a cluster in which nothing is ever killed.

mod hostile;
mod input;
mod kinds;
mod lists;
mod pages;
mod quiet;
mod traced;
mod water;
mod wires;
