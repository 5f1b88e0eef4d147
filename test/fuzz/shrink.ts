import type { Case } from './generate.js';

const maxTries = 200;

/** A case with as little in it as still is bad: lines are left out, then parts of them. */
export async function shrink(found: Case, isBad: (one: Case) => Promise<boolean>): Promise<Case> {
  let smallest = found;
  let tries = 0;
  for (let size = Math.ceil(found.text.length / 2); size >= 1 && tries < maxTries; size = Math.floor(size / 2)) {
    for (let at = 0; at < smallest.text.length && tries < maxTries;) {
      const text = smallest.text.slice(0, at) + smallest.text.slice(at + size);
      const candidate = { server: smallest.server, text };
      tries++;
      if (text !== '' && (await isBad(candidate))) smallest = candidate;
      else at += size;
    }
  }
  return smallest;
}
