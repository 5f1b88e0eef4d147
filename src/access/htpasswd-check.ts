import { plainLogger } from '../util/plain-log.js';
import { HtpasswdFile } from './identities/htpasswd-file.js';

/** Reads an htpasswd file as `openAccess` does. @throws HtpasswdError that names the file and its first invalid line. */
export async function checkHtpasswd(path: string): Promise<void> {
  await new HtpasswdFile(path, { now: Date.now, log: plainLogger }).open();
}
