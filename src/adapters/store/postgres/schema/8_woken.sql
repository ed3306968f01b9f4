-- Whoever puts something in the queue or brings it forward, and is not the server that has the database, wakes that server: a
-- person at a prompt, or a program. The server itself knows what it has written.

CREATE FUNCTION wake() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('causeway_queue', '');
    RETURN NULL;
END
$$;

CREATE TRIGGER queue_wakes AFTER INSERT OR UPDATE ON queue FOR EACH STATEMENT
    WHEN (current_setting('causeway.serves', true) IS DISTINCT FROM 'on') EXECUTE FUNCTION wake();
