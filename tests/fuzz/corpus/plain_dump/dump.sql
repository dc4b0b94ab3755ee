--
-- PostgreSQL database dump
--
\restrict abc
-- Dumped from database version 15.20 (Debian 15.20-0+deb12u1)
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SET default_tablespace = fast;
CREATE EXTENSION IF NOT EXISTS pgcrypto WITH SCHEMA public;
CREATE FUNCTION public.twice(a integer) RETURNS integer LANGUAGE sql BEGIN ATOMIC SELECT a * 2; END;
CREATE TABLE public.notes (id bigint NOT NULL, "a ""b" text DEFAULT E'x\'y'::text);
ALTER TABLE public.notes OWNER TO ember;
COPY public.notes (id, body) FROM stdin;
1	one
2	\N
\.
CREATE POLICY p ON public.notes TO reader, GROUP others;
GRANT SELECT ON TABLE public.notes TO "Reader One";
ALTER DEFAULT PRIVILEGES FOR ROLE ember GRANT SELECT ON TABLES TO reader;
INSERT INTO t VALUES (1, 'it''s', $tag$ ; $tag$); /* c /* n */ */
\unrestrict abc
--
-- PostgreSQL database dump complete
--
