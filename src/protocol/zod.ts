/** The only import of zod: its variant with functions instead of methods, whose schemas take less time and memory. */
import * as z from 'zod/mini';

// Unlike zod, this variant has no messages of its own. A locale that the host application chose stays.
if (z.core.globalConfig.localeError === undefined) z.config(z.locales.en());

export { z };
