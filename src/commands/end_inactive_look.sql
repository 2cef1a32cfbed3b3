-- The cutoff of a sweep by the server's clock, and whether there is anything to do. $1: minutes; $2: the idle ones too.
select json_build_object('cutoff', c.cutoff, 'due', sessctl.end_inactive_due(c.cutoff, $2))::text
from sessctl.end_inactive_cutoff($1) as c (cutoff)
