"""Pure checks that may stop a change. All of them run, and every reason is recorded."""
