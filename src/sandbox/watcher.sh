# Makes a folder, and removes it when standard input ends: when the program at the other end stops, and also when it is
# killed. Each line of input is the process that works in the folder, empty for none; it is ended first. $1: the folder.
dir=$1
trap '' HUP INT TERM PIPE
mkdir -m 700 "$dir" || exit
echo made
exec 2>/dev/null
process=
while read -r line; do process=$line; done
# A server stops at once, since what a checkpoint would save is removed next. It gives its own processes five seconds.
# initdb stops after its current step: killed in the middle, it would leave shared memory.
tries=0
while [ -n "$process" ] && kill -0 "$process" && [ "$tries" -lt 250 ]; do
  if [ "$tries" -lt 200 ]; then kill -QUIT "$process"; else kill -KILL "$process"; fi
  tries=$((tries + 1))
  sleep 0.05
done
# What a killed process has started may still write a file.
tries=0
until rm -rf "$dir" || [ "$tries" -eq 100 ]; do
  tries=$((tries + 1))
  sleep 0.05
done
