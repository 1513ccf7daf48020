"""Object stores: what is fetched from them for a build, and how a report is sent to one."""
