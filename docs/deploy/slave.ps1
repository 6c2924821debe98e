# A slave that starts with the machine, as a scheduled task of yours (Windows 10 or newer). UNTRIED.
#
# In a PowerShell that runs as administrator:
#   py -m venv C:\remoteobj; C:\remoteobj\Scripts\pip install FOLDER-OF-THIS-PROJECT
#   C:\remoteobj\Scripts\nameserver join          (then paste what 'nameserver invite' has printed)
#   powershell -ExecutionPolicy Bypass -File slave.ps1
#
# To end it:  Stop-ScheduledTask "remoteobj slave"; Unregister-ScheduledTask "remoteobj slave"
# A scheduled task needs no helper program, as a service would; it runs without a log-in all the same.

$folder = "C:\remoteobj"
$command = "`"$folder\Scripts\masterslave.exe`" slave >> $folder\slave.log 2>&1"

$action = New-ScheduledTaskAction -Execute "cmd.exe" -Argument "/c `"$command`"" -WorkingDirectory $folder
$trigger = New-ScheduledTaskTrigger -AtStartup
$principal = New-ScheduledTaskPrincipal -UserId $env:USERNAME -LogonType S4U
$settings = New-ScheduledTaskSettingsSet -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries `
    -ExecutionTimeLimit ([TimeSpan]::Zero) -RestartCount 999 -RestartInterval (New-TimeSpan -Minutes 1) `
    -Priority 8

Register-ScheduledTask "remoteobj slave" -Action $action -Trigger $trigger -Principal $principal `
    -Settings $settings -Force | Out-Null
Start-ScheduledTask "remoteobj slave"
Get-ScheduledTask "remoteobj slave"
