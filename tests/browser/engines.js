// Opens a URL in an engine under test, headless, with a profile of its own; close() ends every process it started.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const kChromium = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--disable-popup-blocking'];
const kMiniBrowser = '/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser';

/** Name → the command for a URL and an empty profile folder, and what must be installed. */
export const kBrowsers = {
  chromium: { needs: '/usr/bin/chromium', command: (url, profile) => ['chromium', ...kChromium, `--user-data-dir=${profile}`, url] },
  firefox: { needs: '/usr/bin/firefox-esr', command: (url, profile) => ['firefox-esr', '--headless', '--no-remote', '--profile', profile, url] },
  webkit: { needs: kMiniBrowser, command: (url) => ['xvfb-run', '-a', 'dbus-run-session', '--', kMiniBrowser, '--private', url] },
};

export const installed = (name) => existsSync(kBrowsers[name].needs);

export function open(name, url) {
  const profile = mkdtempSync(join(tmpdir(), `kiln-${name}-`));
  writeFileSync(join(profile, 'user.js'), 'user_pref("dom.disable_open_during_load", false);'); // Firefox's: a page may open another
  const [command, ...args] = kBrowsers[name].command(url, profile);
  const environment = { ...process.env, LIBGL_ALWAYS_SOFTWARE: '1', HOME: profile, XDG_CACHE_HOME: profile, MOZ_DISABLE_AUTO_SAFE_MODE: '1' };
  const child = spawn(command, args, { detached: true, stdio: 'ignore', env: environment });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  return {
    usage: () => usage(family(child.pid)),
    close: async () => {
      for (const pid of family(child.pid)) kill(pid);
      await ended;
      rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
    },
  };
}

function kill(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended already
  }
}

/** The process and everything below it. */
function family(root) {
  const children = new Map();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const parent = Number(readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(pid)]);
    } catch {
      // it has ended since
    }
  }
  const all = [root];
  for (let i = 0; i < all.length; i++) all.push(...(children.get(all[i]) ?? []));
  return all;
}

/** Memory that is the processes' own, their threads, and the places where an engine keeps gigabytes of addresses for a WebAssembly memory. */
export function usage(pids) {
  const total = { bytes: 0, threads: 0, memories: 0 };
  for (const pid of pids) {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      total.bytes += 1024 * Number(/RssAnon:\s+(\d+)/.exec(status)?.[1] ?? 0);
      total.threads += Number(/Threads:\s+(\d+)/.exec(status)?.[1] ?? 0);
      total.memories += reservations(readFileSync(`/proc/${pid}/maps`, 'latin1'));
    } catch {
      // it has ended since
    }
  }
  return total;
}

/** Of 2 to 64 GB without access: what is in use stands before it, an engine's own heap has more. */
function reservations(maps) {
  const size = ([, from, to]) => parseInt(to, 16) - parseInt(from, 16);
  return [...maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) ---p/gm)].map(size).filter((bytes) => bytes >= 2 ** 31 && bytes < 2 ** 36).length;
}
