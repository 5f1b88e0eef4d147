// Decides which digest of a tag is served: the approved one, until a new one is old enough or approved.
import { readFile, rename, writeFile } from 'node:fs/promises';

/** Opens the decisions in a JSON file: `{ "hub/library/alpine:latest": { served, next, seen } }`. `seen` is the time of `next`. */
export async function openCoolingOff(file, days) {
  const text = await readFile(file, 'utf8').catch((error) => {
    if (error.code !== 'ENOENT') throw error;
    return '{}';
  });
  return new CoolingOff(file, days, JSON.parse(text));
}

class CoolingOff {
  #file;
  #periodMs;
  #tags;
  #isChanged = false;
  #saving = Promise.resolve();

  constructor(file, days, tags) {
    this.#file = file;
    this.#periodMs = days * 24 * 60 * 60 * 1000;
    this.#tags = new Map(Object.entries(tags));
  }

  /** Returns the digest to serve for a tag that names `digest`. The first one is served at once. */
  async decide(name, digest, now = Date.now()) {
    const { served = digest, next, seen } = this.#tags.get(name) ?? {};
    const isOld = next === digest && now - Date.parse(seen) >= this.#periodMs;
    if (served === digest || isOld) this.#set(name, { served: digest });
    else if (next !== digest) this.#set(name, { served, next: digest, seen: new Date(now).toISOString() });
    await this.#flush();
    return isOld ? digest : served;
  }

  /** Serves a waiting digest from now on. Returns false if it is not waiting. */
  async approve(name, digest) {
    const isWaiting = digest !== undefined && this.#tags.get(name)?.next === digest;
    if (isWaiting) this.#set(name, { served: digest });
    await this.#flush();
    return isWaiting;
  }

  /** Returns the tags with a digest that waits. */
  waiting() {
    return Object.fromEntries([...this.#tags].filter(([, { next }]) => next !== undefined));
  }

  #set(name, entry) {
    const { served, next } = this.#tags.get(name) ?? {};
    if (served === entry.served && next === entry.next) return;
    this.#tags.set(name, entry);
    this.#isChanged = true;
  }

  /** Resolves when all changes are on disk, so that a restart forgets none. Rejects if they cannot be written. */
  #flush() {
    this.#saving = this.#saving.catch(() => {}).then(() => this.#save());
    return this.#saving;
  }

  async #save() {
    if (!this.#isChanged) return;
    this.#isChanged = false;
    try {
      const whole = `${this.#file}.new`;
      await writeFile(whole, JSON.stringify(Object.fromEntries(this.#tags), null, 2), { flush: true });
      await rename(whole, this.#file);
    } catch (error) {
      this.#isChanged = true; // the next pull tries again
      throw error;
    }
  }
}
