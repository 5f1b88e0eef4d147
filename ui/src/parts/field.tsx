import type { ComponentChildren, VNode } from 'preact';
import { useId } from 'preact/hooks';

/** A text field with its label. */
export function TextField({
  label,
  value,
  onInput,
  help,
  problem,
  ...input
}: {
  readonly label: string;
  readonly value: string;
  readonly onInput: (value: string) => void;
  readonly help?: ComponentChildren;
  /** What is wrong with the value. */
  readonly problem?: string | undefined;
  readonly type?: 'text' | 'password' | 'search' | 'number' | 'url';
  readonly name?: string;
  readonly autocomplete?: string;
  readonly placeholder?: string;
  readonly required?: boolean;
  readonly spellcheck?: boolean;
}): VNode {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        autocapitalize="off"
        spellcheck={false}
        autocomplete="off"
        {...input}
        value={value}
        aria-invalid={problem !== undefined}
        aria-describedby={`${id}-help`}
        onInput={(event) => onInput(event.currentTarget.value)}
      />
      <Help id={id} help={help} problem={problem} />
    </div>
  );
}

/** A field for several lines, with its label. */
export function AreaField({
  label,
  value,
  onInput,
  help,
  problem,
}: {
  readonly label: string;
  readonly value: string;
  readonly onInput: (value: string) => void;
  readonly help?: ComponentChildren;
  readonly problem?: string | undefined;
}): VNode {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <textarea
        id={id}
        rows={3}
        spellcheck={false}
        value={value}
        aria-invalid={problem !== undefined}
        aria-describedby={`${id}-help`}
        onInput={(event) => onInput(event.currentTarget.value)}
      />
      <Help id={id} help={help} problem={problem} />
    </div>
  );
}

function Help({
  id,
  help,
  problem,
}: {
  readonly id: string;
  readonly help: ComponentChildren;
  readonly problem: string | undefined;
}): VNode {
  return (
    <p id={`${id}-help`}>
      {problem === undefined ? undefined : <span class="wrong">{problem}. </span>}
      <span class="faint">{help}</span>
    </p>
  );
}

/** A list to choose from, with its label. */
export function SelectField({
  label,
  value,
  options,
  onChange,
  help,
  problem,
  isCompact = false,
}: {
  readonly label: string;
  readonly value: string;
  /** Values with their texts. */
  readonly options: readonly (readonly [value: string, text: string])[];
  readonly onChange: (value: string) => void;
  readonly help?: ComponentChildren;
  readonly problem?: string | undefined;
  /** Whether only screen readers get the label. */
  readonly isCompact?: boolean;
}): VNode {
  const id = useId();
  return (
    <div class={isCompact ? 'field compact' : 'field'}>
      <label for={id} class={isCompact ? 'hidden' : ''}>
        {label}
      </label>
      <select
        id={id}
        value={value}
        {...(isCompact ? {} : { 'aria-describedby': `${id}-help`, 'aria-invalid': problem !== undefined })}
        onChange={(event) => onChange(event.currentTarget.value)}
      >
        {options.map(([option, text]) => (
          <option key={option} value={option}>
            {text}
          </option>
        ))}
      </select>
      {isCompact ? undefined : <Help id={id} help={help} problem={problem} />}
    </div>
  );
}

/** A check box with its label. */
export function CheckField({
  label,
  checked,
  onChange,
  help,
  problem,
}: {
  readonly label: string;
  readonly checked: boolean;
  readonly onChange: (checked: boolean) => void;
  readonly help?: ComponentChildren;
  readonly problem?: string | undefined;
}): VNode {
  const id = useId();
  const isPlain = help === undefined && problem === undefined;
  const field = (
    <label class="check">
      <input
        type="checkbox"
        checked={checked}
        {...(isPlain ? {} : { 'aria-describedby': `${id}-help` })}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
      {label}
    </label>
  );
  if (isPlain) return field;
  return (
    <div class="field">
      {field}
      <Help id={id} help={help} problem={problem} />
    </div>
  );
}

/** A field that filters a list while the user types. */
export function FilterField({
  label,
  value,
  onInput,
}: {
  readonly label: string;
  readonly value: string;
  readonly onInput: (value: string) => void;
}): VNode {
  return (
    <input
      type="search"
      class="filter"
      aria-label={label}
      placeholder={label}
      value={value}
      spellcheck={false}
      onInput={(event) => onInput(event.currentTarget.value)}
    />
  );
}
