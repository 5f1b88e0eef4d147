import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { JobDocument } from '../../../../src/protocol/documents/activity.js';
import { get, send } from '../../api.ts';
import { go } from '../../location.ts';
import { DialogForm } from '../../parts/dialog.tsx';
import { CheckField, SelectField, TextField } from '../../parts/field.tsx';
import { announce } from '../../parts/status.tsx';
import { useAnswer } from '../../use-answer.ts';

interface Kind {
  readonly title: string;
  readonly help: string;
  readonly hasDryRun: boolean;
}

const kinds: Readonly<Record<string, Kind>> = {
  garbage: {
    title: 'garbage collection',
    help: 'Deletes blobs that nothing refers to, after their grace period.',
    hasDryRun: true,
  },
  retention: {
    title: 'retention',
    help: 'Deletes tags and manifests by the retention policies. New policies wait for a confirmation of the plan.',
    hasDryRun: true,
  },
  scrub: { title: 'scrub', help: 'Reads every blob again and compares it with its digest.', hasDryRun: false },
  backup: {
    title: 'backup',
    help: 'Writes a backup into a subfolder of the folder in the option "backups".',
    hasDryRun: false,
  },
  import: {
    title: 'import',
    help: 'Imports the data folder of another registry: one that the option "imports" names, or a folder in it.',
    hasDryRun: true,
  },
  sync: { title: 'sync', help: 'Copies images from another registry, as configured.', hasDryRun: true },
};

/** A form that starts a job. */
export function StartJob({ onClose, onDone }: { readonly onClose: () => void; readonly onDone: () => void }): VNode {
  const [kind, setKind] = useState('garbage');
  const [isDryRun, setDryRun] = useState(true);
  const [folder, setFolder] = useState('');
  const [repository, setRepository] = useState('');
  const [sync, setSync] = useState('');
  const chosen = kinds[kind];
  const start = async (): Promise<void> => {
    const job = await send<JobDocument>('POST', 'jobs', {
      kind,
      ...(chosen?.hasDryRun === true ? { dry_run: isDryRun } : {}),
      ...(kind === 'backup' && folder !== '' ? { folder } : {}),
      ...(kind === 'import' ? { folder, repository } : {}),
      ...(kind === 'sync' ? { sync } : {}),
    });
    announce(`Started ${chosen?.title ?? kind}`);
    onClose();
    onDone();
    if (kind === 'retention') go(`/jobs/${job.id}`);
  };
  return (
    <DialogForm
      title="Start a job"
      submit={chosen?.hasDryRun === true && isDryRun ? 'Start a dry run' : 'Start'}
      what="The job could not be started"
      isReady={(kind !== 'sync' || sync !== '') && (kind !== 'import' || (folder !== '' && repository !== ''))}
      onSubmit={start}
      onClose={onClose}
    >
      <SelectField
        label="Kind"
        value={kind}
        options={Object.entries(kinds).map(([name, { title }]) => [name, title] as const)}
        onChange={setKind}
      />
      <p class="faint">{chosen?.help}</p>
      {kind === 'backup' || kind === 'import' ? (
        <TextField label="Folder" value={folder} onInput={setFolder} />
      ) : undefined}
      {kind === 'import' ? <TextField label="Repository" value={repository} onInput={setRepository} /> : undefined}
      {kind === 'sync' ? <SyncField value={sync} onChange={setSync} /> : undefined}
      {chosen?.hasDryRun === true ? (
        <CheckField label="Dry run: report, but change nothing" checked={isDryRun} onChange={setDryRun} />
      ) : undefined}
    </DialogForm>
  );
}

function SyncField({ value, onChange }: { readonly value: string; readonly onChange: (name: string) => void }): VNode {
  const { value: found, problem } = useAnswer(
    (signal) => get<{ readonly syncs: readonly { readonly name: string }[] }>('syncs', {}, signal),
    [],
  );
  const names = found?.syncs.map(({ name }) => name) ?? [];
  if (problem !== undefined) return <p class="wrong">The syncs could not be read: {problem.message}</p>;
  if (found !== undefined && names.length === 0) return <p>No sync is configured.</p>;
  return (
    <SelectField
      label="Sync"
      value={value}
      options={[['', 'choose a sync'], ...names.map((name) => [name, name] as const)]}
      onChange={onChange}
    />
  );
}
