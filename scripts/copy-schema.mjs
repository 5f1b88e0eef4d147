// Ships docs/config.schema.json and docs/openapi.json with the compiled package. Runs after the compiler.
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';

const at = (/** @type {string} */ path) => new URL(`../${path}`, import.meta.url);
copyFileSync(at('docs/config.schema.json'), at('dist/config.schema.json'));
// The registry serves this one, without its indentation.
writeFileSync(at('dist/openapi.json'), JSON.stringify(JSON.parse(readFileSync(at('docs/openapi.json'), 'utf8'))));
