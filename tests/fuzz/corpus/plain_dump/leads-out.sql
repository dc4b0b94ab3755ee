CREATE DATABASE x;
\connect x
COPY a FROM PROGRAM 'rm';
COPY a TO '/x';
CREATE ROLE r; GRANT a TO b;
COMMENT ON DATABASE x IS 'y';
SET SESSION AUTHORIZATION 'x';
CREATE USER MAPPING FOR bob SERVER s;
SET standard_conforming_strings = off;
\! ls
