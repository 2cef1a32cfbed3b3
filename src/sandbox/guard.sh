# Runs a server, and takes it down with everything it wrote when standard input ends: on a normal stop, and also when
# the process at the other end was killed. $1: the folder to remove; the rest: the server's command line.
dir=$1
shift
trap '' HUP INT TERM
"$@" >"$dir/server.log" 2>&1 </dev/null &
server=$!
read -r _
# An immediate stop: what a checkpoint would save is deleted next. A server that has only just begun ignores the signal.
tries=0
while kill -0 "$server" 2>/dev/null; do
  if [ "$tries" -lt 100 ]; then kill -QUIT "$server"; else kill -KILL "$server"; fi
  tries=$((tries + 1))
  sleep 0.05
done 2>/dev/null
rm -rf "$dir"
