-- Before facts.sql, in the same transaction: the settings that names and expressions are printed by.
set local search_path = '';
set local quote_all_identifiers = off;
set local datestyle = 'ISO, YMD';
set local intervalstyle = 'postgres';
set local timezone = 'UTC';
set local jit = off;
