import type { VNode } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { RepositoryDocument } from '../../../../src/protocol/documents/repositories.js';
import { ApiError, get, send } from '../../api.ts';
import { Dialog, DialogForm } from '../../parts/dialog.tsx';
import { AreaField, CheckField, SelectField, TextField } from '../../parts/field.tsx';
import { Answered } from '../../parts/problem.tsx';
import { announce } from '../../parts/status.tsx';
import { fieldsOf, problemsByField, settingsOf, valuesFor, type Field, type Schema } from './repository-fields.ts';
import { useAnswer } from '../../use-answer.ts';
import { CredentialFields, credentialsOf, keptCredentials, type Credentials } from './credential-fields.tsx';

interface FormProps {
  readonly type: RepositoryDocument['repo_type'];
  /** The repository to change. Absent: a new one. */
  readonly repository?: RepositoryDocument | undefined;
  /** The version of the repository that the form shows. */
  readonly version?: string | undefined;
  readonly onClose: () => void;
  readonly onDone: (name: string) => void;
}

interface OpenApi {
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

/** A dialog that creates or changes a repository. The registry itself describes the fields. */
export function RepositoryForm(props: FormProps): VNode {
  const { type, repository, onClose } = props;
  const answer = useAnswer((signal) => get<OpenApi>('openapi.json', {}, signal), []);
  const title = repository === undefined ? `New ${type} repository` : `Settings of ${repository.name}`;
  const schemaName = `${type.charAt(0).toUpperCase()}${type.slice(1)}Repository`;
  const schema = answer.value?.components.schemas[schemaName];
  if (schema !== undefined) return <Form {...props} title={title} fields={fieldsOf(schema)} about={schema} />;
  return (
    <Dialog title={title} onClose={onClose} isWide>
      <div class="body">
        <Answered answer={answer} what="The description of the settings could not be read">
          {() => <p>This registry does not describe its settings.</p>}
        </Answered>
      </div>
    </Dialog>
  );
}

function Form({
  type,
  repository,
  version,
  onClose,
  onDone,
  title,
  fields,
  about,
}: FormProps & { readonly title: string; readonly fields: readonly Field[]; readonly about: Schema }): VNode {
  const [name, setName] = useState(repository?.name ?? '');
  const [values, setValues] = useState(() => valuesFor(fields, repository));
  // The version of the values in the fields, even if the page reads the repository again.
  const [seen] = useState(version);
  const [credentials, setCredentials] = useState<Credentials>(keptCredentials);
  const [problems, setProblems] = useState<Readonly<Record<string, string>>>({});
  const save = async (): Promise<void> => {
    const settings = {
      name,
      package_type: 'docker',
      repo_type: type,
      ...settingsOf(fields, values),
      ...credentialsOf(credentials),
    };
    await (
      repository === undefined
        ? send('POST', 'repositories', settings)
        : send('PUT', `repositories/${repository.name}`, settings, {}, seen)
    ).catch((error: unknown) => {
      const found = problemsOf(error);
      setProblems(found);
      throw withFields(error, found);
    });
    announce(repository === undefined ? `Created ${name}` : `Changed ${name}`);
    onDone(name);
  };
  useEffect(() => {
    document.querySelector<HTMLElement>('dialog [aria-invalid="true"]')?.focus();
  }, [problems]);
  const show = (field: Field): VNode | null => {
    // The URL follows from a well-known upstream.
    if (field.name === 'url' && (values['upstream'] ?? '') !== '') return null;
    return (
      <SettingField
        key={field.name}
        field={field}
        value={values[field.name] ?? ''}
        problem={problems[field.name]}
        onChange={(value) => setValues((before) => ({ ...before, [field.name]: value }))}
      />
    );
  };
  const more = fields.filter(({ isMain }) => !isMain);
  const { name: nameHelp } = about.properties ?? {};
  return (
    <DialogForm
      title={title}
      submit={repository === undefined ? 'Create' : 'Save'}
      what={repository === undefined ? 'The repository was not created' : 'The settings were not changed'}
      isWide
      isReady={name !== ''}
      onSubmit={save}
      onClose={onClose}
    >
      {repository === undefined ? (
        <TextField
          label="Name"
          value={name}
          onInput={setName}
          help={nameHelp?.description?.replaceAll('`', '')}
          problem={problems['name']}
        />
      ) : undefined}
      {fields.filter(({ isMain }) => isMain).map(show)}
      {type === 'remote' ? (
        <CredentialFields
          value={credentials}
          isStored={repository?.has_credentials === true}
          problem={problems['credentials']}
          onChange={setCredentials}
        />
      ) : undefined}
      {more.length === 0 ? undefined : (
        <details class="settings" open={more.some((field) => field.name in problems)}>
          <summary>More settings</summary>
          {more.map(show)}
        </details>
      )}
      {problems[''] === undefined ? undefined : <p class="wrong">{problems['']}</p>}
    </DialogForm>
  );
}

function problemsOf(error: unknown): Readonly<Record<string, string>> {
  if (!(error instanceof ApiError)) return {};
  // Only a name can be taken.
  const isTaken =
    error.code === 'CONFLICT' && (error.detail as { readonly name?: string } | undefined)?.name !== undefined;
  return isTaken ? { name: error.message } : problemsByField(error.detail);
}

const changedMeanwhile =
  'someone else has changed them in the meantime. Copy your changes, close this form and open it again';

/** The message of the registry refers to its detail, which the fields show. */
function withFields(error: unknown, found: Readonly<Record<string, string>>): unknown {
  if (error instanceof ApiError && error.status === 412) return new ApiError(412, error.code, changedMeanwhile);
  const isShown = error instanceof ApiError && error.code === 'OPTIONS_INVALID' && Object.keys(found).length > 0;
  if (!isShown) return error;
  return new ApiError(error.status, error.code, 'see the marked fields', error.detail, error.requestId);
}

function SettingField({
  field: { title, kind, help, choices },
  value,
  problem,
  onChange,
}: {
  readonly field: Field;
  readonly value: string;
  readonly problem: string | undefined;
  readonly onChange: (value: string) => void;
}): VNode {
  if (kind === 'flag') {
    return (
      <CheckField
        label={title}
        help={help}
        problem={problem}
        checked={value === 'true'}
        onChange={(isChecked) => onChange(String(isChecked))}
      />
    );
  }
  if (kind === 'choice') {
    return (
      <SelectField label={title} help={help} problem={problem} value={value} options={choices} onChange={onChange} />
    );
  }
  const Shown = kind === 'area' || kind === 'rules' || kind === 'members' ? AreaField : TextField;
  return <Shown label={title} help={help} problem={problem} value={value} onInput={onChange} />;
}
