#!/bin/sh
# Fly: two machines that run every hour and every day. FLY_APP names the app; the secret DATABASE_URL is set by
# fly secrets set DATABASE_URL='postgresql://…'
set -eu
fly machine run "@IMAGE@" end-inactive --minutes 60 --app "$FLY_APP" --schedule hourly --restart no
fly machine run "@IMAGE@" cleanup --days 90 --app "$FLY_APP" --schedule daily --restart no
