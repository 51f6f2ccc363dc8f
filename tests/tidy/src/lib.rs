//! House rules held by tests: dependency walls, settings, ports.
