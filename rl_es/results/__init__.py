"""Everything that is on disk: tables, manifests, timings, replays, checksums, atomic writes."""
