-- Times the statements of the file :statements in a session of their own: seconds and bytes of WAL. The pause is for the sampler of
-- memory, which reads the backend's number from :pid_file and takes its first sample.
SELECT pg_backend_pid() \g :pid_file
SELECT pg_sleep(0.25) \g /dev/null
SELECT clock_timestamp() AS started, pg_current_wal_insert_lsn() AS lsn \gset
\i :statements
SELECT extract(epoch FROM clock_timestamp() - :'started'), pg_wal_lsn_diff(pg_current_wal_insert_lsn(), :'lsn');
