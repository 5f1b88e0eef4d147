import { afterAll } from 'vitest';
import { takeLeftFolders } from './scratch.js';

// Registered before the hooks of the test file, so it runs after them.
afterAll(() => {
  const left = takeLeftFolders();
  if (left.length > 0) throw new Error(`no test of this file removed the temporary folders ${left.join(', ')}`);
});
