// Ships docs/config.schema.json with the compiled package. Runs after the compiler.
import { copyFileSync } from 'node:fs';

const at = (/** @type {string} */ path) => new URL(`../${path}`, import.meta.url);
copyFileSync(at('docs/config.schema.json'), at('dist/config.schema.json'));
