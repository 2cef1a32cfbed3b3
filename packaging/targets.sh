# Sourced after common.sh: the targets that releases have, and what others call them.
# shellcheck shell=sh disable=SC2034,SC2154

targets='x86_64-unknown-linux-musl aarch64-unknown-linux-musl x86_64-apple-darwin aarch64-apple-darwin'

# npm's name of a target's platform: its process.platform and process.arch.
npm_platform() {
  case $1 in
    x86_64-*-linux-*) echo linux-x64 ;;
    aarch64-*-linux-*) echo linux-arm64 ;;
    x86_64-apple-darwin) echo darwin-x64 ;;
    aarch64-apple-darwin) echo darwin-arm64 ;;
    *) return 1 ;;
  esac
}

# The name of Debian and of container images for a target's processor.
linux_architecture() {
  case $1 in
    x86_64-*-linux-*) echo amd64 ;;
    aarch64-*-linux-*) echo arm64 ;;
    *) return 1 ;;
  esac
}
