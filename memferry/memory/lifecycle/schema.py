"""The tables of the index. What they say is all in the ledgers; a change here makes them anew."""

from __future__ import annotations

SCHEMA_VERSION = 2
SCHEMA = """
create table files (path text primary key, stamp text, offset int, lines int, count int, ts_min text, ts_max text,
                    scope text, mark text) without rowid;
create table damaged (path text, line int, reason text);
create table tally (zone text, scope text, kind text, number int, primary key (zone, scope, kind)) without rowid;
create table facts (name text primary key, value) without rowid;
create table waiting (verb text, path text, offset int, length int, event_id text, scope text, instance text,
                      private int, primary key (verb, path, offset)) without rowid;
create unique index waiting_event on waiting (event_id);
create table done (verb text, event_id text, primary key (verb, event_id)) without rowid;
create table told (what text, id text, primary key (what, id)) without rowid;
create table objects (number integer primary key, id text unique, path text, line int, offset int, length int,
                      type text, scope text, slug text, project text, status text, ts text, summary text,
                      decision_key text, due_at text, event_ref text, private int, origin text, active int);
create index objects_event on objects (event_ref);
create index objects_active on objects (type, slug, project, ts) where active;
create index objects_key on objects (scope, decision_key) where active and decision_key != '';
create index objects_foreign on objects (scope, decision_key) where origin != '' and active and decision_key != '';
create index objects_private on objects (scope, decision_key) where private;
create table superseded (id text primary key) without rowid;
create table conflicts (number integer primary key, id text unique, scope text, key text, summary text, ts text,
                        private int, opened int, resolved int);
create table parties (id text, conflict text, primary key (id, conflict)) without rowid;
create table instances (origin text, id text, event text, scope text, project text, ts text, primary key (origin, id));
create table leases (number integer primary key, lease_id text, origin text, scope text, key text, instance text,
                     acquired real, expires real, released real, private int, body text);
create index leases_key on leases (scope, key);
create table findings (id text primary key, rule text, severity text, scope text, project text, status text, ts text,
                       private int);
create table hidden (id text, text text);
create index hidden_id on hidden (id);
"""
