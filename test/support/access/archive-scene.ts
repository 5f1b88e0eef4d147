import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import type { Answer } from '../clients/client.js';
import { makeScratchFolder, removeScratchFolder } from '../storage/scratch.js';
import { Cleanups } from '../upstreams/remote.js';
import { basic, startAccess, type AccessScene } from './access.js';

/** A registry into whose repository `local` users import archives. */
export interface ArchiveScene {
  /** Imports an archive as `root` (admin), `reader` (pulls `local`) or `pusher` (pushes `local/mine/*`). */
  readonly send: (user: 'root' | 'reader' | 'pusher', body: Buffer, query?: string) => Promise<Answer>;
  /** Returns the names of the staged files. */
  readonly staged: () => Promise<string[]>;
}

/** Starts the registry before the tests of the file, and removes it after them. */
export function useArchiveScene(): ArchiveScene {
  const cleanups = new Cleanups();
  let scene: AccessScene;
  let folder: string;
  beforeAll(async () => {
    folder = await makeScratchFolder();
    cleanups.add(() => removeScratchFolder(folder));
    scene = await startAccess(cleanups, {
      storage: folder,
      users: ['root', 'reader', 'pusher'],
      repositories: [{ name: 'local', type: 'local' }],
      access: {
        rules: [
          { users: ['root'], allow: ['admin'] },
          { users: ['reader'], names: 'local', allow: ['pull'] },
          { users: ['pusher'], names: 'local/mine/*', allow: ['pull', 'push'] },
        ],
      },
    });
  });
  afterAll(() => cleanups.run());
  return {
    send: (user, body, query = '') =>
      scene.as(basic(user))('POST', `/api/v1/repositories/local/import${query}`, { body }),
    staged: () => readdir(path.join(folder, 'staged')),
  };
}
