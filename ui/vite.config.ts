import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

/** Files that compress well. */
const compressible = /\.(?:html|js|css|svg)$/;

/** Stores each file in compressed form too, for servers that send what the browser accepts. */
function compress(): Plugin {
  return {
    name: 'compress',
    // Not earlier: Vite still replaces parts of the code when the bundle is generated.
    writeBundle({ dir = '' }, bundle) {
      for (const name of Object.keys(bundle).filter((file) => compressible.test(file))) {
        const file = path.join(dir, name);
        const source = readFileSync(file);
        writeFileSync(`${file}.gz`, gzipSync(source, { level: 9 }));
        writeFileSync(`${file}.br`, brotliCompressSync(source));
      }
    },
  };
}

export default defineConfig({
  // Relative URLs, so that the page works under any path.
  base: './',
  plugins: [compress()],
  build: {
    outDir: '../dist/ui',
    emptyOutDir: true,
    target: 'es2022',
    // The content security policy has no data: URLs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
