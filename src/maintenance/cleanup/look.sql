-- The cutoff of a cleanup by the server's clock, and whether there is anything to do. $1: days.
select json_build_object('cutoff', c.cutoff, 'due', sessctl.cleanup_is_due(c.cutoff))::text
from sessctl.cleanup_cutoff($1) as c (cutoff)
