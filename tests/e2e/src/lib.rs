//! End-to-end tests on the four real binaries.
