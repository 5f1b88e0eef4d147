import { readFile, stat } from 'node:fs/promises';
import type { Runtime } from '../../ports/runtime.js';
import { identityNamePattern } from '../../protocol/settings/access-config.js';

/** The file is looked at for changes this often at most. */
const lookEveryMs = 1000;
const bcryptPattern = /^\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}$/;
const minCost = 4;
/** One verification of this cost takes seconds; each step more doubles it, and all other logins wait meanwhile. */
const maxCost = 15;
/** Wrong lines in one entry of the log. */
const maxLogged = 10;

/** Users and their bcrypt hashes, by name. */
export type HtpasswdUsers = ReadonlyMap<string, string>;

/** What is wrong with a line; never shows the hash. */
export interface HtpasswdProblem {
  readonly line: number;
  readonly problem: string;
}

/** The cost of a hash that `parseHtpasswd` let through. */
export function costOf(hash: string): number {
  return Number(bcryptPattern.exec(hash)?.[1]);
}

/** Reads `name:hash` lines, as Apache's `htpasswd -B` writes them; blank lines and `#` comments are skipped. */
export function parseHtpasswd(text: string): { users: HtpasswdUsers; problems: readonly HtpasswdProblem[] } {
  const users = new Map<string, string>();
  const problems: HtpasswdProblem[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    // As elsewhere, what follows a second colon is a comment.
    const [name = '', hash] = line.split(':');
    const problem = findProblem(users, name, hash);
    if (problem !== undefined) problems.push({ line: index + 1, problem });
    else if (hash !== undefined) users.set(name, hash);
  }
  return { users, problems };
}

function findProblem(users: HtpasswdUsers, name: string, hash: string | undefined): string | undefined {
  if (hash === undefined) return 'it is not name:hash';
  if (!identityNamePattern.test(name)) return 'the name must have 1 to 200 characters, without spaces';
  // Which of two passwords is the right one is not for us to guess.
  if (users.has(name)) return 'the name is in the file twice';
  if (!bcryptPattern.test(hash)) return 'the password is not hashed with bcrypt: set it anew with htpasswd -B';
  const cost = costOf(hash);
  if (cost < minCost) return `bcrypt has no cost below ${minCost}`;
  if (cost > maxCost) return `a bcrypt cost above ${maxCost} makes each login take many seconds`;
  return undefined;
}

/** The configured file cannot be used. Its message names the file and the line. */
export class HtpasswdError extends Error {
  override readonly name = 'HtpasswdError';
  readonly code = 'HTPASSWD_INVALID';
}

/** An htpasswd file that is read again when it has changed. */
export class HtpasswdFile {
  readonly #path: string;
  readonly #runtime: Pick<Runtime, 'now' | 'log'>;
  #users: HtpasswdUsers = new Map();
  #version = '';
  #lookedAt = -Infinity;
  #looking: Promise<void> | undefined;
  #unreadable = false;

  constructor(path: string, runtime: Pick<Runtime, 'now' | 'log'>) {
    this.#path = path;
    this.#runtime = runtime;
  }

  /** Reads it for the first time. @throws HtpasswdError that names the file, and the first line that is wrong. */
  async open(): Promise<void> {
    this.#lookedAt = this.#runtime.now();
    let problems: readonly HtpasswdProblem[];
    try {
      problems = await this.#read(await versionOf(this.#path));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new HtpasswdError(`the htpasswd file ${this.#path} cannot be read: ${reason}`, { cause });
    }
    const [first] = problems;
    if (first === undefined) return;
    const more = problems.length === 1 ? '' : ` (and ${problems.length - 1} more lines are wrong)`;
    throw new HtpasswdError(`the htpasswd file ${this.#path}, line ${first.line}: ${first.problem}${more}`);
  }

  /** What it says now, or said when it could last be read. */
  async users(): Promise<HtpasswdUsers> {
    await (this.#looking ??= this.#look().finally(() => (this.#looking = undefined)));
    return this.#users;
  }

  /** Never rejects: a file that is gone or broken for a while must not lock everybody out. */
  async #look(): Promise<void> {
    const now = this.#runtime.now();
    // Also when the clock was set back.
    if (Math.abs(now - this.#lookedAt) < lookEveryMs) return;
    this.#lookedAt = now;
    try {
      const version = await versionOf(this.#path);
      const problems = version === this.#version ? [] : await this.#read(version);
      if (problems.length > 0) {
        const fields = { path: this.#path, count: problems.length, problems: problems.slice(0, maxLogged) };
        this.#runtime.log.warn(fields, 'wrong lines of the htpasswd file are ignored');
      }
      this.#unreadable = false;
    } catch (error) {
      if (!this.#unreadable) {
        const message = 'the htpasswd file cannot be read: what it said before is still in force';
        this.#runtime.log.warn({ err: error, path: this.#path }, message);
      }
      this.#unreadable = true;
    }
  }

  /** The version is older than the text, if anything: a change in between is noticed the next time. */
  async #read(version: string): Promise<readonly HtpasswdProblem[]> {
    const { users, problems } = parseHtpasswd(await readFile(this.#path, 'utf8'));
    this.#users = users;
    this.#version = version;
    return problems;
  }
}

/** Changes with the file's content, for all that happens in practice. */
async function versionOf(path: string): Promise<string> {
  const { mtimeMs, size, ino } = await stat(path);
  return `${mtimeMs} ${size} ${ino}`;
}
