# Runs a server, and takes it down with everything it wrote when standard input ends: on a normal stop, and also when
# the process at the other end was killed. $1: the folder to remove; the rest: the server's command line.
dir=$1
shift
trap '' HUP INT TERM
"$@" >"$dir/server.log" 2>&1 </dev/null &
server=$!
read -r _
# An immediate stop: what a checkpoint would save is deleted next.
kill -QUIT "$server" 2>/dev/null
wait "$server"
rm -rf "$dir"
