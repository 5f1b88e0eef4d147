// Builds the web UI into dist/ui. Does nothing without Vite (`npm ci --omit=dev` in a built or packed copy).
import { fileURLToPath } from 'node:url';

const vite = await import('vite').catch((error) => {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
});
await vite?.build({ root: fileURLToPath(new URL('../ui', import.meta.url)), logLevel: 'warn' });
