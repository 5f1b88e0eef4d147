import { RegistryError } from '../../../src/index.js';

/** Returns the RegistryError that the task throws. Any other outcome fails the test. */
export function refusalOf(task: () => unknown): RegistryError {
  try {
    task();
  } catch (error) {
    if (error instanceof RegistryError) return error;
    throw error;
  }
  throw new Error('the task did not throw');
}
