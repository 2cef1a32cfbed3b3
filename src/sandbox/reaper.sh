# Removes the folder after its server has gone. Beside guard.sh where this is root: the guard runs as another user, who may
# empty the folder but not take it out of a parent that is root's. $1: the folder.
trap '' HUP INT TERM
read -r _
tries=0
while [ -e "$1/data/postmaster.pid" ] && [ "$tries" -lt 200 ]; do
  sleep 0.05
  tries=$((tries + 1))
done
rm -rf "$1"
