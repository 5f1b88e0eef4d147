import { readFile, stat } from 'node:fs/promises';
import type { Runtime } from '../../ports/runtime.js';
import { identityNamePattern } from '../../protocol/settings/access-config.js';

/** How often the file is checked for changes, at most. */
const checkIntervalMs = 1000;
const bcryptPattern = /^\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}$/;
const minCost = 4;
/** One verification of this cost takes seconds, each further step doubles it, and all other logins wait meanwhile. */
const maxCost = 15;
/** Invalid lines listed in one log entry. */
const maxLogged = 10;

/** The bcrypt hashes of users, by name. */
export type HtpasswdUsers = ReadonlyMap<string, string>;

/** An invalid line of the file. Never shows the hash. */
export interface HtpasswdProblem {
  readonly line: number;
  readonly problem: string;
}

/** Returns the cost of a hash that `parseHtpasswd` accepted. */
export function costOf(hash: string): number {
  return Number(bcryptPattern.exec(hash)?.[1]);
}

/** Parses `name:hash` lines, as Apache's `htpasswd -B` writes them. Skips blank lines and `#` comments. */
function parseHtpasswd(text: string): { users: HtpasswdUsers; problems: readonly HtpasswdProblem[] } {
  const users = new Map<string, string>();
  const problems: HtpasswdProblem[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    // As in Apache, everything after a second colon is a comment.
    const [name = '', hash] = line.split(':');
    const problem = findProblem(users, name, hash);
    if (problem !== undefined) problems.push({ line: index + 1, problem });
    else if (hash !== undefined) users.set(name, hash);
  }
  return { users, problems };
}

function findProblem(users: HtpasswdUsers, name: string, hash: string | undefined): string | undefined {
  if (hash === undefined) return 'must be name:hash';
  if (!identityNamePattern.test(name)) return 'the name must have 1 to 200 characters, without spaces';
  // We cannot know which of two passwords is the right one.
  if (users.has(name)) return 'the file has another line with this name';
  if (!bcryptPattern.test(hash)) return 'the password is not hashed with bcrypt: set it again with htpasswd -B -C 10';
  const cost = costOf(hash);
  if (cost < minCost) return `the bcrypt cost must be at least ${minCost}`;
  if (cost > maxCost)
    return `the bcrypt cost must be at most ${maxCost}: a higher cost makes each login take many seconds`;
  return undefined;
}

/** Thrown when the configured file cannot be used. Its message names the file and the line. */
export class HtpasswdError extends Error {
  override readonly name = 'HtpasswdError';
  readonly code = 'HTPASSWD_INVALID';
}

/** Reads an htpasswd file, and reads it again after a change. */
export class HtpasswdFile {
  readonly #path: string;
  readonly #runtime: Pick<Runtime, 'now' | 'log'>;
  #users: HtpasswdUsers = new Map();
  #version = '';
  #checkedAt = -Infinity;
  #checking: Promise<void> | undefined;
  #unreadable = false;

  constructor(path: string, runtime: Pick<Runtime, 'now' | 'log'>) {
    this.#path = path;
    this.#runtime = runtime;
  }

  /** Reads the file for the first time. @throws HtpasswdError that names the file and its first invalid line. */
  async open(): Promise<void> {
    this.#checkedAt = this.#runtime.now();
    let problems: readonly HtpasswdProblem[];
    try {
      problems = await this.#read(await versionOf(this.#path));
    } catch (cause) {
      if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') {
        const advice = `create it with htpasswd -B -C 10 -c ${this.#path} <name>`;
        throw new HtpasswdError(`the htpasswd file "${this.#path}" does not exist: ${advice}`, { cause });
      }
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new HtpasswdError(`the htpasswd file "${this.#path}" cannot be read: ${reason}`, { cause });
    }
    const [first] = problems;
    if (first === undefined) return;
    const more = problems.length === 1 ? '' : ` (and ${problems.length - 1} more invalid lines)`;
    throw new HtpasswdError(`htpasswd file "${this.#path}", line ${first.line}: ${first.problem}${more}`);
  }

  /** Returns the users in the file, or those of the last successful read. */
  async users(): Promise<HtpasswdUsers> {
    await (this.#checking ??= this.#reload().finally(() => (this.#checking = undefined)));
    return this.#users;
  }

  /** Never rejects: a file that is missing or broken for a while must not lock out every user. */
  async #reload(): Promise<void> {
    const now = this.#runtime.now();
    // The absolute value covers a clock that was set back.
    if (Math.abs(now - this.#checkedAt) < checkIntervalMs) return;
    this.#checkedAt = now;
    try {
      const version = await versionOf(this.#path);
      const problems = version === this.#version ? [] : await this.#read(version);
      if (problems.length > 0) {
        const fields = { path: this.#path, count: problems.length, problems: problems.slice(0, maxLogged) };
        this.#runtime.log.warn(fields, 'invalid lines of the htpasswd file ignored');
      }
      this.#unreadable = false;
    } catch (error) {
      if (!this.#unreadable) {
        const message = 'htpasswd file unreadable: its previous content stays in force';
        this.#runtime.log.warn({ err: error, path: this.#path }, message);
      }
      this.#unreadable = true;
    }
  }

  /** Notes the version from before the read, so that the next check notices a change in between. */
  async #read(version: string): Promise<readonly HtpasswdProblem[]> {
    const { users, problems } = parseHtpasswd(await readFile(this.#path, 'utf8'));
    this.#users = users;
    this.#version = version;
    return problems;
  }
}

/** Returns a text that, in practice, changes whenever the content of the file changes. */
async function versionOf(path: string): Promise<string> {
  const { mtimeMs, size, ino } = await stat(path);
  return `${mtimeMs} ${size} ${ino}`;
}
