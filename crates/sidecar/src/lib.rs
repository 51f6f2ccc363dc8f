//! Service kit: settings, telemetry, health, shutdown, gRPC assembly.
