/** The generated interfaces of the options agree with the types that TypeScript infers from the schemas. */
import { expectTypeOf } from 'vitest';
import type { z } from 'zod/mini';
import type { AccessOptions, RegistryOptions, RepositoryOptions } from 'artifactapi';
import type { optionsSchema } from '../../src/options/options-schema.js';
import type { accessSettingsSchema } from '../../src/protocol/settings/access-settings.js';
import type { Immutable } from '../../src/protocol/settings/option-schema.js';
import type { repositoryConfigSchema } from '../../src/protocol/settings/repository-config.js';

type Inferred<S extends z.ZodMiniType> = Immutable<z.input<S>>;

expectTypeOf<Omit<RegistryOptions, 'storage' | 'logger'>>().toExtend<
  Omit<Inferred<typeof optionsSchema>, 'storage' | 'logger'>
>();
expectTypeOf<keyof RegistryOptions>().toEqualTypeOf<keyof Inferred<typeof optionsSchema>>();
expectTypeOf<AccessOptions>().toExtend<Inferred<typeof accessSettingsSchema>>();
expectTypeOf<keyof AccessOptions>().toEqualTypeOf<keyof Inferred<typeof accessSettingsSchema>>();
expectTypeOf<RepositoryOptions>().toExtend<Inferred<typeof repositoryConfigSchema>>();

type Field<T> = T extends unknown ? keyof T : never;
expectTypeOf<Field<RepositoryOptions>>().toEqualTypeOf<Field<Inferred<typeof repositoryConfigSchema>>>();
