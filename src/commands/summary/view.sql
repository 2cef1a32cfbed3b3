-- What public.active_sessions_summary alone says, with the keys of counts.sql. No parameters.
select json_build_object(
  'now', now(),
  'filtered', row_security_active('public.user_sessions'),
  'platforms', (
    select coalesce(json_agg(json_build_object(
      'platform', s.platform,
      'active_count', s.active_count,
      'idle_count', null,
      'due_count', null,
      'avg_session_minutes', round(s.avg_session_minutes, 2),
      'oldest_session', s.oldest_session,
      'latest_activity', s.latest_activity
    ) order by s.active_count desc, s.platform), '[]')
    from public.active_sessions_summary as s
  )
)::text
