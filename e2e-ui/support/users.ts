import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Page } from 'playwright-core';
import type { AccessOptions, RegistryOptions } from '../../src/index.js';
import { htpasswdOf, passwordOf } from '../../test/support/access/access.js';
import { makeScratchFolder, removeScratchFolder } from '../../test/support/storage/scratch.js';
import { startUi, type UiScene } from './scene.js';

/** Options of a registry with users. */
export type UserOptions = Omit<Partial<RegistryOptions>, 'access'> & { readonly access: AccessOptions };

/** Starts a registry with a web UI, whose users log in with passwords. */
export async function startWithUsers(
  users: readonly string[],
  { access, ...options }: UserOptions,
  place?: string,
): Promise<UiScene> {
  const folder = await makeScratchFolder();
  const htpasswd = path.join(folder, 'users');
  await writeFile(htpasswd, htpasswdOf(users));
  const scene = await startUi({ ...options, access: { htpasswd, ...access } }, place);
  return {
    ...scene,
    close: async () => {
      await scene.close();
      await removeScratchFolder(folder);
    },
  };
}

/** Logs in through the dialog of the page. */
export async function logIn(page: Page, user: string): Promise<void> {
  await page.getByLabel('User name').fill(user);
  await page.getByLabel('Password or token').fill(passwordOf(user));
  await page.keyboard.press('Enter');
}
