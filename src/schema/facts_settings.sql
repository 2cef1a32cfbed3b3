-- Before facts.sql, in the same transaction: the settings that names and expressions are printed by.
set local search_path = '';
set local quote_all_identifiers = off;
set local datestyle = 'ISO, YMD';
set local intervalstyle = 'postgres';
set local timezone = 'UTC';
set local jit = off;
set local standard_conforming_strings = on;
-- Half of the time goes into planning: joins of a few hundred rows need fewer ways to be weighed.
set local enable_mergejoin = off;
set local enable_bitmapscan = off;
