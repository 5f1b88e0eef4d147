import { z } from '../protocol/zod.js';
import { describe, strictOptions } from '../protocol/settings/option-schema.js';

/** The option `backups`. */
export const backupsSchema = strictOptions({
  folder: z.optional(z.string().check(z.minLength(1, 'must be the path of a folder'))).apply(describe, {
    description:
      'The folder below which the management API may write backups: outside of the data folder, and on another disk if possible. A relative path is relative to the folder of the config file, in code to the working directory.',
    unset: 'none: backups are taken by the command only',
  }),
}).apply(describe, { title: 'BackupOptions' });

/** The option `imports`. */
export const importsSchema = strictOptions({
  folders: z._default(z.array(z.string().check(z.minLength(1, 'must be the path of a folder'))), []).apply(describe, {
    description:
      'The folders that administrators may import through the management API, and everything in them: data folders of other registries, outside of the data folder of this registry. Symbolic links that point outside of them are not followed. A relative path is relative to the folder of the config file, in code to the working directory.',
  }),
}).apply(describe, { title: 'ImportOptions' });
