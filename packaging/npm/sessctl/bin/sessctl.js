#!/usr/bin/env node
"use strict";
// Runs the binary of this platform, which is a package of its own that npm has chosen (optionalDependencies).

const { spawn } = require("node:child_process");
const { accessSync, constants, readFileSync } = require("node:fs");
const path = require("node:path");

const known = require("../package.json").optionalDependencies;

// As sessctl itself ends where it fails.
function fail(message, hint) {
  console.error(`error: ${message}\nhint: ${hint}`);
  process.exit(3);
}

function find() {
  const platform = `${process.platform}-${process.arch}`;
  const name = `@sessctl/${platform}`;
  if (!(name in known)) {
    const others = Object.keys(known).map((other) => other.slice("@sessctl/".length));
    fail(
      `npm has no sessctl for ${platform}, only for ${others.join(", ")}`,
      "build it with Rust: cargo install --locked --path . in a clone of its repository",
    );
  }
  try {
    return path.join(path.dirname(require.resolve(`${name}/package.json`)), "bin", "sessctl");
  } catch {
    fail(
      `the package ${name} is missing, which has sessctl for this platform`,
      "npm leaves it out with --omit=optional, or where node_modules come from another platform: install sessctl again",
    );
  }
}

// A terminal sends its signals (Ctrl-C, Ctrl-\, a hangup) to every process in its foreground, so to the binary too.
// Sent on, they would come twice, and a second signal ends sessctl at once.
function isInForeground() {
  try {
    const status = readFileSync("/proc/self/stat", "utf8");
    const [, , group, , terminal, foreground] = status.slice(status.lastIndexOf(")") + 2).split(" ");
    return terminal !== "0" && group === foreground;
  } catch {
    return Boolean(process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY);
  }
}

function run(binary, args) {
  const child = spawn(binary, args, { stdio: "inherit" });
  const handlers = {};
  for (const signal of ["SIGINT", "SIGQUIT", "SIGHUP", "SIGTERM"]) {
    handlers[signal] = () => {
      if (signal === "SIGTERM" || !isInForeground()) child.kill(signal);
    };
    process.on(signal, handlers[signal]);
  }
  child.on("error", (error) => unusable(error));
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code);
    // Ended by a signal, so this process is too: whatever started it sees what happened.
    for (const name of Object.keys(handlers)) process.off(name, handlers[name]);
    process.kill(process.pid, signal);
  });
}

function unusable(error) {
  fail(`can't run ${binary}: ${error.message}`, "install sessctl again");
}

const binary = find();
const args = process.argv.slice(2);
try {
  accessSync(binary, constants.X_OK);
} catch (error) {
  unusable(error);
}
if (typeof process.execve === "function") {
  // Node 22.15 and newer: this process becomes the binary, and signals and exit codes are its own.
  process.execve(binary, [binary, ...args], process.env);
} else {
  run(binary, args);
}
